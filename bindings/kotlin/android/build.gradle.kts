// The Android library (AAR). The native libraries come from scripts/build-android, into src/main/jniLibs/ABI.
// Gradle and Google's repository could not be reached where this was written: what is checked of it is in ../README.md.
plugins {
    id("com.android.library") version "8.12.0"
    id("org.jetbrains.kotlin.android") version "2.1.20"
}

android {
    namespace = "dev.keepsync"
    compileSdk = 36

    defaultConfig {
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }

    sourceSets["main"].kotlin.srcDirs("src/main/kotlin", "../src/main/kotlin")

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin {
    compilerOptions {
        jvmTarget = org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_17
    }
}

dependencies {
    // From 5.18.1 on: 16 KiB pages, and without the races of 5.16 and 5.17.
    implementation("net.java.dev.jna:jna:5.19.1@aar")
    api("org.jetbrains.kotlinx:kotlinx-coroutines-core:1.10.2")
    implementation("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.10.2")
    api("androidx.work:work-runtime-ktx:2.10.5")
}
